"""How Sphinx builds the site; `make docs` runs it."""

from importlib.metadata import version as installed

project = "chainrule"
author = "chainrule developers"
release = version = installed("chainrule")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
autodoc_typehints = "description"
nitpicky = False
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "chainrule"
html_copy_source = False
