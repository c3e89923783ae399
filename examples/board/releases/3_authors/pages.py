"""What the board looks like, as text."""

NEWEST = 5


def show_board(board):
    """Return the page of the board: its newest notices, with their numbers."""
    shown = list(board.notices.items())[-NEWEST:]
    return "".join(f"{number}. {show_notice(notice)}\n" for number, notice in shown)


def show_notice(notice):
    """Return the line of a notice."""
    return f"{notice.text} ({notice.author})"
