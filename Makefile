# What the README names, a line each; what they do is in the scripts and tests that they call.
# SIZE=api|one|two and CLUSTER=kind are of `up`; PROFILE=release|dev is of `image`; ROWS='store.*' is of
# `bench`; FROM=commit is of `upgrade` (where it is not said: ff2db947, at which the restructuring began).
.PHONY: demo test bench check up down image upgrade
demo: ; @e2e/demo
test: ; @.ci/test
check: ; @.ci/check
up: ; @e2e/local-cluster up $(SIZE)
down: ; @e2e/local-cluster down
image: ; @e2e/local-cluster image $(PROFILE)
bench: ; @bench/run
upgrade: ; @e2e/upgrade $(FROM)
