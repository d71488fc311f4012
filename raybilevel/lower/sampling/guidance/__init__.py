"""A stock pipeline whose noise is pushed along rewards' gradients."""
