"""Topic filters of MQTT 5 §4.7: which topics a filter takes."""


def valid_filter(pattern: str) -> bool:
    """Whether ``#`` stands last and alone and ``+`` alone in its level."""
    levels = pattern.split("/")
    if pattern == "" or "#" in levels[:-1]:
        return False
    return all(level in ("#", "+") or not set("#+") & set(level) for level in levels)


def valid_topic(topic: str) -> bool:
    return topic != "" and not set("#+\0") & set(topic)


def matches(pattern: str, topic: str) -> bool:
    """Wildcards never match a leading ``$`` level (§4.7.2)."""
    if topic.startswith("$") and pattern[:1] in ("#", "+"):
        return False
    wanted, given = pattern.split("/"), topic.split("/")
    for position, level in enumerate(wanted):
        if level == "#":
            return True
        if position >= len(given) or level not in ("+", given[position]):
            return False
    return len(wanted) == len(given)
