"""Study 1: is LCAM an implicit penalty on the dispersion of the losses?"""
