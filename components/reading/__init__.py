"""Sources of labelled texts: files of every usual format, their labels, and an account of rows."""
