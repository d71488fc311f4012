"""Samples whose noise was pushed along rewards' gradients."""
