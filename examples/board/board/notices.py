"""What is on the board: persistent objects."""

from BTrees.IOBTree import IOBTree
from persistent import Persistent


class Notice(Persistent):
    """A text that somebody has put up."""

    def __init__(self, text):
        self.text = text


class Board(Persistent):
    """Notices by number."""

    def __init__(self):
        self.notices = IOBTree()

    def put_up(self, text):
        """Put up a notice, and return its number."""
        number = self.notices.maxKey() + 1 if self.notices else 1
        self.notices[number] = Notice(text)
        return number


def get_board(root):
    """Return the board of a database; there is one from the first request on."""
    if "board" not in root:
        root["board"] = Board()
    return root["board"]
