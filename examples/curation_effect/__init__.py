"""Does curation pay? The paper's comparison on real images, at the scale of two cores."""
