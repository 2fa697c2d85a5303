"""The page that an auditor is shown: `make isolation-report`.

results   what the isolation tests recorded, from pytest's JUnit file
picture   the matrix of who reaches whom
page      the page, as Markdown and HTML
"""
