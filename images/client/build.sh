# The command `nashflow`: compiles, submits, schedules, reports; and an MLflow server. No torch.
set -eu
# The driver that SQLAlchemy takes for postgresql://, for an MLflow server.
sh /source/images/install.sh dependencies client client 'psycopg[binary]'
