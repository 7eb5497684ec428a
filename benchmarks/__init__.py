"""Programs that measure, and print ratios taken side by side in one run."""
