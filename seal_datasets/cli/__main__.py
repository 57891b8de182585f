"""`python -m seal_datasets.cli`."""

import sys

from seal_datasets.cli import main

sys.exit(main())
