"""A follow-up to the study, asked and predicted after its runs with the digits, before its own.

**Why.** With the digits LCAM has a lower test error than tuned fixed momentum, by 2.2 ± 2.1 points, and than its
yoked run, by 0.9 ± 0.6 (before Holm's adjustment). But the rates lie a factor of three apart. At each of them LCAM memorises less, as do its
yoked run and the other direction: at .01 the training error is 36 %, with fixed momentum 33 to 34; at .03 it
is 21 to 24 % instead of 10 to 11. Test errors differ as one expects of that alone. So they might all do only
what a lower learning rate does, which the coarse tuning did not offer to fixed momentum.

**Runs.** The same with the digits at two further effective rates between the three, .0055 and .018: 70 runs. All is
tuned again, over the five rates.

**Prediction.** If it is the rate, LCAM - tuned fixed momentum is between -1 and +1 points, and not shown
(p < 0.05, without adjustment). LCAM - yoked: between -1 and +0.5.
"""

import dataclasses

from studies.noisy_convolutions.definition import PROBLEMS

FINER = dataclasses.replace(PROBLEMS[0], rates=(0.003, 0.0055, 0.01, 0.018, 0.03))
