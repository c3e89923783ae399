"""A notice board on the web, which lives in the database with its notices."""

RELEASE = 4
