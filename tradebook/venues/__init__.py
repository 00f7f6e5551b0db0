"""Records of venues: what their files and programs hold, as terms that the book takes."""
