"""What is on the board: a refactoring that goes too far, since there are instances of Notice."""

from BTrees.IOBTree import IOBTree
from persistent import Persistent

Notice = "author: text"


class Board(Persistent):
    """Notices by number."""

    def __init__(self):
        self.notices = IOBTree()
