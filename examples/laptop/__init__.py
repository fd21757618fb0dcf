"""From web pages to the score of a model, on a laptop."""
