"""What readers open: sources of rows, a file a format. A reader imports its own when it opens something."""
