// Temml and its style sheet, one file of the build.
import temml from 'temml';
import 'temml/dist/Temml-Local.css';

export default temml;
