"""The feature contract, its windows and the one encoding that training and scoring share. Pure."""
