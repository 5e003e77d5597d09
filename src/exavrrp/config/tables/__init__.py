"""A reader for each table of exavrrp.toml: from what its keys may hold (``schema``) to what they mean (``settings``).

A reader looks at one table and notes what is wrong in the document; what it returns after that is never used, but lets
others go on looking. A check whose subject was already found to be wrong keeps silent (``Document.sound``), so that one
mistake gives one line.
"""
