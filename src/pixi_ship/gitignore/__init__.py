"""The rules of ``.gitignore`` files, as Git reads them."""
