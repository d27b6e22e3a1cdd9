"""Study 3: does LCAM help when everything is tuned with the same budget?"""
