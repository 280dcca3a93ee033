"""What this project measures about itself: none of it is part of the installed package or of the packed bundle."""
