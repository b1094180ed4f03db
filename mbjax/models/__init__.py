"""The networks, in Flax: DSTformer and the nets with heads. May import pose and body."""
