"""Plans and reports as one page of HTML, with what a comment has no room for: search, filters, every change."""
