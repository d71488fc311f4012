"""How variables are moved: steps from gradients, curvatures and residuals."""
