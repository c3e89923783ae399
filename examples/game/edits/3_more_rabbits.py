"""The world of the game: change this file while the game runs."""

from persistent import Persistent

WIDTH = 40


class Rabbit(Persistent):
    """It hops to and fro."""

    face = "r"

    def __init__(self, place, step):
        self.place = place
        self.step = step

    def move(self):
        """Hop, and turn at the ends."""
        if not 0 <= self.place + self.step < WIDTH:
            self.step = -self.step
            self.face = {"r": "R", "R": "r"}[self.face]
        self.place += self.step


class World(Persistent):
    """All rabbits, and the time."""

    def __init__(self):
        self.time = 0
        self.rabbits = [Rabbit(0, 1), Rabbit(10, 2), Rabbit(20, 3)]

    def tick(self):
        """Let time pass."""
        self.time += 1
        if self.time % 20 == 0:
            self.rabbits = [*self.rabbits, Rabbit(0, 1)]
        for rabbit in self.rabbits:
            rabbit.move()

    def picture(self):
        """Return a line that shows the world."""
        cells = ["_"] * WIDTH
        for rabbit in self.rabbits:
            cells[rabbit.place] = rabbit.face
        return "".join(cells)
