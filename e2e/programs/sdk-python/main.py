import os, time, pyroscope
pyroscope.configure(application_name="sdk.py", server_address=os.environ["URL"], sample_rate=100, tags={"lang": "py"})
def burn_cpu_in_python(t):
    x = 0
    while time.time() < t: x += 1
burn_cpu_in_python(time.time() + 14)
pyroscope.shutdown()
