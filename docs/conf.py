"""How Sphinx builds the site; `make docs` runs it.  What it writes needs no network: formulas are MathML."""

import sys
from importlib.metadata import version as installed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import reference

project = "chainrule"
author = "chainrule developers"
release = version = installed("chainrule")

extensions = ["myst_parser", "formulas"]
myst_enable_extensions = ["dollarmath", "colon_fence", "amsmath"]
myst_heading_anchors = 3
nitpicky = False
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "chainrule"
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"

reference.write(Path(__file__).parent / "api")
