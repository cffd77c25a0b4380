# What the README names, a line each; what they do is in the scripts and tests that they call.
.PHONY: demo test check up down
demo: ; @e2e/demo
test: ; @.ci/test
check: ; @.ci/check
up: ; @cargo run --quiet --locked -p strongroom-e2e --bin cluster -- up
down: ; @cargo run --quiet --locked -p strongroom-e2e --bin cluster -- down
