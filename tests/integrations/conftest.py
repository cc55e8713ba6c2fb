"""Makes the folders of the checkout that are not installed importable for the checks."""

from __future__ import annotations

import sys

from support.paths import ROOT

# Behind what is installed, so that the checks play the installed package.
sys.path.append(str(ROOT))
