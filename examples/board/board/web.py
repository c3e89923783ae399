"""The WSGI application. A request comes with a connection to the database; its transaction is the server's business."""

import board
from board.notices import get_board
from board.pages import show_board


def application(environ, start_response):
    """Show the board; put up what is posted."""
    found = get_board(environ["zodb.connection"].root())
    if environ["REQUEST_METHOD"] == "POST":
        body = environ["wsgi.input"].read().decode()
        page = f"notice {found.put_up(body)} is up\n"
    else:
        page = show_board(found)
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8"), ("X-Release", str(board.RELEASE))])
    return [page.encode()]
