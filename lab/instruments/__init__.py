"""The instruments: small programs that run inside the namespaces and write down what they see, one line each time.

Each is started by path in an isolated interpreter, so it imports nothing but the standard library, and nothing from
here. All times are CLOCK_REALTIME; the machines of a lab share one clock.
"""
