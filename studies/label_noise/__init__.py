"""Study: does LCAM help where labels are wrong?"""
