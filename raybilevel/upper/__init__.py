"""Upper level: pure math on arrays. Knows no Ray and no models."""
