"""`python -m persistmod` is the `persistmod` command."""

import sys

from persistmod.cli import main

sys.exit(main())
