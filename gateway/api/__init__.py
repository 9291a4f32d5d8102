"""What programs ask over HTTP: how the site is, what it could give, and what it has promised."""
