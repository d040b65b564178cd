"""The program of netpolicy-lite, for both interpreters."""

import sys

from netpolicy.lite.main import main

sys.exit(main(sys.argv[1:]))
