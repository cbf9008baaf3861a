"""Plans and reports as GitHub and GitLab show them."""
