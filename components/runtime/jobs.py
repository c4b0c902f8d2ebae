"""What the compiled graph tells the pod of a step that makes a job of further pods, by variables of its environment."""

POD, NAMESPACE = "NASHFLOW_POD", "NASHFLOW_NAMESPACE"
"""Its name and its namespace."""
NODE = "NASHFLOW_NODE"
"""What each pod of the job asks for, as JSON."""
