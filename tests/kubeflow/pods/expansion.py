"""`$(NAME)` in a container's command and arguments, as the kubelet replaces it from the container's environment."""


def expand(text: str, environment: dict[str, str]) -> str:
    """Known names replaced, unknown ones left; `$$` is a dollar sign."""
    made, rest = "", text
    while rest:
        before, dollar, rest = rest.partition("$")
        made += before
        if not dollar:
            break
        if rest.startswith("$"):
            made, rest = made + "$", rest[1:]
        elif rest.startswith("(") and ")" in rest:
            name, _, rest = rest[1:].partition(")")
            made += environment.get(name, f"$({name})")
        else:
            made += "$"
    return made
