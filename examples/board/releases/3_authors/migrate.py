"""What the release does to the data, in the transaction that brings the code."""


def migrate(root):
    """Give the notices that are there an author; return how many there are."""
    notices = root["board"].notices.values()
    for notice in notices:
        notice.author = "somebody"
    return len(notices)
