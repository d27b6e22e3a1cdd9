"""Study 3: does LCAM help, when everything is tuned by the same budget?"""
