"""What the board looks like, as text."""

NEWEST = 5


def show_board(board):
    """Return the page of the board: its newest notices."""
    shown = list(board.notices.values())[-NEWEST:]
    return "".join(f"{show_notice(notice)}\n" for notice in shown)


def show_notice(notice):
    """Return the line of a notice."""
    return notice.text
