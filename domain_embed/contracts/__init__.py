"""What every stage may know: records, table schemas, ports and errors. They open no file and load nothing heavy."""
