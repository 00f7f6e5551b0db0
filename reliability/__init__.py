"""What happens on bad days: scenarios that `make test` runs briefly and `make soak` for as long as asked."""
