set(TETHER_SANDBOX_SOURCES call_limit.cc sandbox.cc)
set(TETHER_SANDBOX_TESTS sandbox_test.cc)
