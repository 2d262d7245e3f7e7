"""A run in pictures. The only part of the lab that imports matplotlib, which is slow to import and starts threads."""
