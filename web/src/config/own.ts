/** The attributes that tie a control to its label and to what is said of it. */
export interface Own {
  id: string;
  'aria-label': string | undefined;
  'aria-describedby': string | undefined;
  'aria-invalid': boolean;
}
