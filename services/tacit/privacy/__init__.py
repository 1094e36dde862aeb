"""The privacy border: clipping, accounting, calibration and the one place that draws noise. Pure."""
