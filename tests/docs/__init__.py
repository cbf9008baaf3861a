"""The pages of docs/: followed as a newcomer does, and looked at as a site."""
