"""The limits of every comparison, in one place, each with where it comes from."""

from __future__ import annotations

#: Runtime: RMS error of a target's float32 outputs over the noise floor. On 900 clean random networks the
#: worst was 2.5.
RUNTIME_RMS_RATIO = 4.0

#: Runtime: largest error over the floor's largest error. On the same 900 networks the worst was 9.
RUNTIME_MAX_RATIO = 16.0

#: Route, batch normalisation kept: relative RMS error, float64 against float64. Clean exports reach 1.1e-9,
#: because ONNX stores ``epsilon`` as float32; one weight rounded to bfloat16 moves it to about 1e-5.
ROUTE_UNFOLDED = 1e-8

#: Route, batch normalisation folded: the folded weights are rounded to float32 once more; clean exports reach
#: 2.1e-7.
ROUTE_FOLDED = 1e-6

#: Largest relative difference between two implementations of the route oracle. Both compute in float64, so
#: that only the order of summation may differ.
ORACLE_AGREEMENT = 1e-10

#: An output on which no decision is made is `divergent`, not `drifted`, where its RMS error is past both: so many floors, and so
#: much of its spread. Rounding to half precision moves normally distributed values by 2e-4 of it.
FAR_OFF_RATIO = 100.0
FAR_OFF_RELATIVE = 1e-3

#: Quantised outputs: share of values that may be off by one step of their scale, because a quotient between two whole numbers
#: falls either way. Rounding down moves half of all values, single precision about one in a thousand per layer.
OFF_BY_ONE_STEP = 0.05

#: A flip counts where the source oracle's margin is at least this multiple of the floor: below it, the
#: source's own float32 outputs could have flipped too.
FLIP_MARGIN_FLOORS = 2.0

#: Folded weights against the source's weights times the fold's scale, computed in float64: float32 ULP per
#: element.
FOLD_WEIGHT_ULP = 1

#: Folded biases against ``(bias - mean) * scale + shift`` in float64, in float32 ULP of the largest term,
#: because the terms may cancel: a float32 subtraction, product and sum round by half a ULP each.
FOLD_BIAS_ULP = 2

#: The scale of a fold, gamma / sqrt(variance + epsilon), one number per channel, against float64. Exporters
#: compute it in float32: the sum, the root, the quotient and the product's rounding may each move it; the
#: vectorised root that PyTorch uses is not even correctly rounded. Clean exports by torch-dynamo and
#: torch-script were seen up to 2 ULP away.
FOLD_SCALE_ULP = 4

#: Share of values that an export may change by at most its tolerance before the change counts as arithmetic
#: rather than as a fault: another way of rounding touches a third of the values, a planted fault a few.
FOLD_ISOLATED_SHARE = 0.01
