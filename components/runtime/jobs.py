"""What the compiled graph tells the pod of a step that makes a job of further pods."""

POD, NAMESPACE = "NASHFLOW_POD", "NASHFLOW_NAMESPACE"
"""Variables of the pod's environment: its name and its namespace."""
NODE = "nashflow/node"
"""Annotation of the pod: what each pod of the job asks for, as JSON."""
